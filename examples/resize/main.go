// A Go program whose memory limit follows that of its container. The container runs
//
//	loadline --on-resize signal:USR1 -- resize [LOADLINE]
//
// LOADLINE is the path of loadline, by default /loadline. When the limits change, loadline sends the
// signal. The program then asks loadline for the GOMEMLIMIT that a restart would give, and sets it.
// Configure loadline by variables (LOADLINE_MEMORY_RATIO and so on): both calls of loadline read them.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// decision is the part of the output of loadline --explain=json that is used here.
type decision struct {
	Memory struct {
		// null if the container has no limit
		GOMEMLIMIT *int64 `json:",string"`
	}
}

// memoryLimit asks loadline for Go's memory limit. Without `--memory always`, loadline would keep the
// GOMEMLIMIT that it set in our environment at the start.
func memoryLimit(loadline string) (int64, error) {
	output, err := exec.Command(loadline, "--memory", "always", "--explain=json").Output()
	if err != nil {
		return 0, err
	}
	var now decision
	if err := json.Unmarshal(output, &now); err != nil {
		return 0, err
	}
	if now.Memory.GOMEMLIMIT == nil {
		return math.MaxInt64, nil
	}
	return *now.Memory.GOMEMLIMIT, nil
}

// follow sets Go's memory limit again at each signal.
func follow(resized <-chan os.Signal, loadline string) {
	for range resized {
		limit, err := memoryLimit(loadline)
		if err != nil {
			log.Printf("the memory limit stays as it is: %v", err)
			continue
		}
		old := debug.SetMemoryLimit(limit)
		log.Printf("memory limit %s, was %s", amount(limit), amount(old))
	}
}

// amount formats a memory limit.
func amount(limit int64) string {
	if limit == math.MaxInt64 {
		return "none"
	}
	return fmt.Sprintf("%d MiB", limit>>20)
}

func main() {
	// First: until the program calls Notify, the Go runtime ignores this signal.
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGUSR1)
	loadline := "/loadline"
	if len(os.Args) > 1 {
		loadline = os.Args[1]
	}
	log.Printf("memory limit %s", amount(debug.SetMemoryLimit(-1)))
	// This example does nothing else. A service would call it as a goroutine: go follow(...)
	follow(resized, loadline)
}
