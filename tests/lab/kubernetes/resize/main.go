// Sets the memory limit and the CPU quota of a running container by CRI, as the kubelet does for a resize in
// place since Kubernetes 1.27. It uses the kubelet's own client, in whose source tree it is built.
package main

import (
	"flag"
	"log"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
	"k8s.io/kubernetes/pkg/kubelet/cri/remote"
)

func main() {
	endpoint := flag.String("endpoint", "", "`URL` of the container runtime")
	memory := flag.Int64("memory", 0, "the limit in `bytes`")
	quota := flag.Int64("quota", 0, "the CPU quota in `microseconds` of each 100 ms")
	flag.Parse()

	service, err := remote.NewRemoteRuntimeService(*endpoint, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	limits := &runtime.LinuxContainerResources{MemoryLimitInBytes: *memory, CpuPeriod: 100_000, CpuQuota: *quota}
	if err := service.UpdateContainerResources(flag.Arg(0), limits); err != nil {
		log.Fatal(err)
	}
}
