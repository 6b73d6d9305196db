package main

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// goMetrics answers GET /metrics with what the Go runtime tells about its memory and its threads, in the
// text format and under the names of Prometheus' client_golang. A service that uses that library gets
// them from collectors.NewGoCollector.
func goMetrics(w http.ResponseWriter, r *http.Request) {
	memory := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(memory)

	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	gauge := func(name, help string, value uint64) {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s gauge\n%s %d\n", name, help, name, name, value)
	}
	gauge("go_gc_gomemlimit_bytes", "The memory limit of the Go runtime, otherwise math.MaxInt64.",
		uint64(debug.SetMemoryLimit(-1)))
	gauge("go_sched_gomaxprocs_threads", "The number of threads that execute Go code at once.",
		uint64(runtime.GOMAXPROCS(0)))
	gauge("go_memory_classes_total_bytes", "All memory that the Go runtime has mapped.",
		memory[0].Value.Uint64())
	gauge("go_memory_classes_heap_released_bytes", "Memory that was returned to the operating system.",
		memory[1].Value.Uint64())
}
