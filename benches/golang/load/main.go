// Sends requests to a service for some time and prints the latencies as JSON. Either a fixed number of
// clients send requests one after the other, or requests come at random times with a mean rate and do not
// wait for earlier answers, as those of independent users. Then the latency counts from the time at which a
// request was due.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"sort"
	"sync"
	"time"
)

type result struct {
	mutex     sync.Mutex
	latencies []float64
	failed    int
}

// ask makes one request and records how long after `due` it was answered, in milliseconds.
func (r *result) ask(client *http.Client, address string, due time.Time) {
	answer, err := client.Get(address)
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	took := time.Since(due)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err != nil || answer.StatusCode != http.StatusOK {
		r.failed++
		return
	}
	r.latencies = append(r.latencies, float64(took.Microseconds())/1000)
}

func main() {
	address := flag.String("address", "", "`URL` of the requests")
	clients := flag.Int("clients", 8, "`number` of concurrent requests")
	rate := flag.Float64("rate", 0, "requests per second, instead of -clients")
	seconds := flag.Float64("seconds", 2, "duration")
	flag.Parse()

	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024},
		Timeout:   time.Minute,
	}
	r := &result{}
	begin := time.Now()
	end := begin.Add(time.Duration(*seconds * float64(time.Second)))
	var group sync.WaitGroup
	if *rate > 0 {
		dice := rand.New(rand.NewSource(1))
		for due := begin; due.Before(end); {
			time.Sleep(time.Until(due))
			group.Add(1)
			go func(due time.Time) {
				defer group.Done()
				r.ask(client, *address, due)
			}(due)
			due = due.Add(time.Duration(dice.ExpFloat64() / *rate * float64(time.Second)))
		}
	} else {
		for n := 0; n < *clients; n++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for time.Now().Before(end) {
					r.ask(client, *address, time.Now())
				}
			}()
		}
	}
	group.Wait()
	elapsed := time.Since(begin).Seconds()

	answered := len(r.latencies)
	if answered == 0 {
		log.Fatal("no request was answered")
	}
	sort.Float64s(r.latencies)
	at := func(part float64) float64 { return r.latencies[int(part*float64(answered-1))] }
	json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"answered": float64(answered), "failed": float64(r.failed), "per_second": float64(answered) / elapsed,
		"p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "most_ms": at(1),
	})
}
