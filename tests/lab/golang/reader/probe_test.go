// Added to internal/runtime/cgroup of a toolchain. For each directory in $PROBE_TREES, it writes to
// $PROBE_FOUND which quota the reader of the Go runtime finds there: CPUs, or null for none.
package cgroup_test

import (
	"encoding/json"
	"internal/runtime/cgroup"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
)

func read(fd int, b []byte) (int, uintptr) {
	n, err := syscall.Read(fd, b)
	if err != nil {
		return 0, uintptr(err.(syscall.Errno))
	}
	return n, 0
}

func limitFile(name string) []byte {
	content, err := os.ReadFile(name)
	// As readV1Number and readV2Limit.
	if err != nil || len(content) >= 64 {
		return nil
	}
	return content
}

func quota(tree string) (cpus *float64) {
	cgroups, err := os.Open(tree + "/proc/self/cgroup")
	if err != nil {
		return nil
	}
	defer cgroups.Close()
	mounts, err := os.Open(tree + "/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer mounts.Close()
	directory, version, err := find(int(cgroups.Fd()), int(mounts.Fd()))
	if err != nil {
		return nil
	}
	directory = tree + directory
	if version == cgroup.V2 {
		limit, ok, err := cgroup.ParseV2Limit(limitFile(directory + "/cpu.max"))
		if err != nil || !ok {
			return nil
		}
		return &limit
	}
	quota, err := cgroup.ParseV1Number(limitFile(directory + "/cpu.cfs_quota_us"))
	if err != nil || quota < 0 {
		return nil
	}
	period, err := cgroup.ParseV1Number(limitFile(directory + "/cpu.cfs_period_us"))
	if err != nil {
		return nil
	}
	limit := float64(quota) / float64(period)
	return &limit
}

func TestProbe(t *testing.T) {
	trees, err := os.ReadFile(os.Getenv("PROBE_TREES"))
	if err != nil {
		t.Fatal(err)
	}
	found := []*float64{}
	for _, tree := range strings.Split(string(trees), "\n") {
		cpus := quota(tree)
		// A period of 0, which no kernel prints.
		if cpus != nil && math.IsInf(*cpus, 0) {
			cpus = nil
		}
		found = append(found, cpus)
	}
	text, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("PROBE_FOUND"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}
