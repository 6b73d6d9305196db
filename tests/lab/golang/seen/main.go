// Prints as JSON what this Go program sees of its limits, and for each line on its standard input
// how many threads run Go code now. Ends with its input.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

func main() {
	collector := debug.SetGCPercent(-1)
	debug.SetGCPercent(collector)
	seen := map[string]interface{}{
		"version":    runtime.Version(),
		"cpus":       runtime.NumCPU(),
		"processors": runtime.GOMAXPROCS(0),
		"memory":     debug.SetMemoryLimit(-1),
		"collector":  collector,
	}
	for _, name := range []string{"GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"} {
		if value, set := os.LookupEnv(name); set {
			seen[name] = value
		} else {
			seen[name] = nil
		}
	}
	json.NewEncoder(os.Stdout).Encode(seen)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(runtime.GOMAXPROCS(0))
	}
}
