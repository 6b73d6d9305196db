// The program in the containers of the lab. It prints the environment and the settings of the Go runtime,
// then every signal that arrives. At SIGTERM or SIGINT it exits with its own exit code.
//
//	inside grow BYTES
//
// allocates memory outside of Go's heap, which GOMEMLIMIT cannot limit. It succeeds if it is not killed.
//
//	inside leave
//
// starts another process of itself in a new session, and exits with the same exit code.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"
)

// Status is the exit code. No signal and no error of Go results in the same one.
const Status = 7

// Report is the first line of the output.
type Report struct {
	PID         int
	Parent      int
	UID         int
	Environment map[string]string
	Foreground  bool
	MemoryLimit int64
	Processors  int
}

func report() Report {
	variables := map[string]string{}
	for _, name := range []string{"GOMEMLIMIT", "GOMAXPROCS"} {
		if value, found := os.LookupEnv(name); found {
			variables[name] = value
		}
	}
	return Report{
		PID:         os.Getpid(),
		Parent:      os.Getppid(),
		UID:         os.Getuid(),
		Foreground:  foreground(),
		Environment: variables,
		MemoryLimit: debug.SetMemoryLimit(-1),
		Processors:  runtime.GOMAXPROCS(0),
	}
}

// foreground returns whether this process can read from the terminal that is its standard input.
func foreground() bool {
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno == 0 && int(group) == syscall.Getpgrp()
}

func grow(bytes int) {
	memory, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < bytes; i += os.Getpagesize() {
		memory[i] = 1
	}
}

// leave waits until the other process handles signals, which then closes its side of the pipe.
func leave() {
	ready, closed, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	other := exec.Command(os.Args[0], "left")
	other.Stdout = os.Stdout
	other.ExtraFiles = []*os.File{closed}
	other.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := other.Start(); err != nil {
		log.Fatal(err)
	}
	closed.Close()
	ready.Read(make([]byte, 1))
	os.Exit(Status)
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "leave" {
		leave()
	}
	if len(os.Args) == 3 && os.Args[1] == "grow" {
		bytes, err := strconv.Atoi(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		grow(bytes)
		return
	}

	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	if err := json.NewEncoder(os.Stdout).Encode(report()); err != nil {
		log.Fatal(err)
	}
	if len(os.Args) == 2 && os.Args[1] == "left" {
		syscall.Close(3)
	}
	for s := range signals {
		// The Go runtime preempts itself with SIGURG. SIGCONT follows a termination signal, and the order
		// of the two is not fixed if two threads receive them.
		if s == syscall.SIGURG || s == syscall.SIGCONT {
			continue
		}
		fmt.Println(s)
		if s == syscall.SIGTERM || s == syscall.SIGINT {
			os.Exit(Status)
		}
	}
}
