// A Go program whose memory limit follows that of its container. Its container runs
//
//	loadline --on-resize signal:USR1 -- resize [LOADLINE]
//
// where LOADLINE is the path of loadline, /loadline by default. At the signal that tells it of other
// limits it asks loadline what GOMEMLIMIT would be at a start now, and takes that. Settings of
// loadline are best made by variables (LOADLINE_MEMORY_RATIO and so on), which both of them read.
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

// decision is what is needed of the output of loadline --explain=json.
type decision struct {
	Memory struct {
		// null where the container has no limit
		GOMEMLIMIT *int64 `json:",string"`
	}
}

// memoryLimit asks loadline for Go's memory limit. `--memory always`, as GOMEMLIMIT has a value in our
// environment, that of our start, which loadline would leave alone.
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

// follow sets Go's memory limit again whenever there is a signal.
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

// amount says a memory limit in words.
func amount(limit int64) string {
	if limit == math.MaxInt64 {
		return "none"
	}
	return fmt.Sprintf("%d MiB", limit>>20)
}

func main() {
	// Before all else: who does not ask for this signal is ended by it.
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGUSR1)
	loadline := "/loadline"
	if len(os.Args) > 1 {
		loadline = os.Args[1]
	}
	log.Printf("memory limit %s", amount(debug.SetMemoryLimit(-1)))
	// Here this is all there is to do. A service has it done beside its work: go follow(...)
	follow(resized, loadline)
}
