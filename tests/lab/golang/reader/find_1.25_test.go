package cgroup_test

import "internal/runtime/cgroup"

func find(cgroups, mounts int) (string, cgroup.Version, error) {
	out, scratch := make([]byte, cgroup.PathSize), make([]byte, cgroup.ParseSize)
	n, err := cgroup.ParseCPUMount(mounts, read, out, scratch)
	if err != nil {
		return "", 0, err
	}
	n2, version, err := cgroup.ParseCPURelativePath(cgroups, read, out[n:], scratch)
	return string(out[:n+n2]), version, err
}
