package cgroup_test

import "internal/runtime/cgroup"

func find(cgroups, mounts int) (string, cgroup.Version, error) {
	out, scratch := make([]byte, cgroup.PathSize), make([]byte, cgroup.ParseSize)
	n, version, err := cgroup.ParseCPUCgroup(cgroups, read, out, scratch)
	if err != nil {
		return "", 0, err
	}
	n, err = cgroup.ParseCPUMount(mounts, read, out, out[:n], version, scratch)
	if err != nil {
		return "", 0, err
	}
	return string(out[:n]), version, nil
}
