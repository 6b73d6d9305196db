// Keeps a live heap of a given size and replaces it piece by piece, as a cache under load does, and measures from
// inside how much of its CPU time the garbage collector takes. It writes two lines: "begin", once the heap is filled and
// has been replaced for a while, and some seconds later the figures since then as JSON. It ends with its standard input,
// so that it can be looked at until then.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"
)

// block is a piece of the live heap. Its data has no pointers.
type block struct {
	next *block
	data []byte
}

// Bytes of the data, by kind: the collector follows many pointers for small blocks, and few for large ones.
var kinds = map[string][]int{
	"small": {16, 32, 48, 64, 96, 160, 256},
	"large": {16 << 10, 32 << 10, 64 << 10},
}

func build(dice *rand.Rand, sizes []int) *block {
	made := &block{data: make([]byte, sizes[dice.Intn(len(sizes))])}
	// Writes to it, as a real program does.
	for i := range made.data {
		made.data[i] = byte(i)
	}
	return made
}

// heap is what is alive, in lists of some blocks each.
type heap struct {
	dice      *rand.Rand
	sizes     []int
	lists     []*block
	allocated int
}

const (
	perList  = 8
	overhead = 32
)

func (h *heap) list() *block {
	var first *block
	for n := 0; n < perList; n++ {
		made := build(h.dice, h.sizes)
		made.next, first = first, made
		h.allocated += len(made.data) + overhead
	}
	return first
}

func (h *heap) fill(live int) {
	for h.allocated < live {
		h.lists = append(h.lists, h.list())
	}
}

// replace replaces lists until `end`, at most `rate` bytes in a second if that is not 0.
func (h *heap) replace(end time.Time, rate float64) {
	begin, before := time.Now(), h.allocated
	for time.Now().Before(end) {
		for n := 0; n < 64; n++ {
			h.lists[h.dice.Intn(len(h.lists))] = h.list()
		}
		if rate > 0 {
			due := begin.Add(time.Duration(float64(h.allocated-before) / rate * float64(time.Second)))
			time.Sleep(time.Until(due))
		}
	}
}

// compute reads all of the heap until `end`, without any allocation.
func (h *heap) compute(end time.Time) {
	for sum := byte(0); time.Now().Before(end); {
		for _, list := range h.lists {
			for block := list; block != nil; block = block.next {
				for _, value := range block.data {
					sum ^= value
				}
			}
		}
		runtime.KeepAlive(sum)
	}
}

// cpu is what the runtime knows of its CPU time, in seconds. Idle time that the collector uses costs nobody anything.
func cpu() (collector, all float64) {
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/cpu/classes/idle:cpu-seconds"},
	}
	metrics.Read(samples)
	value := func(n int) float64 { return samples[n].Value.Float64() }
	return value(0) - value(1), value(2) - value(3) - value(1)
}

func main() {
	kind := flag.String("kind", "small", "`size` of the blocks, small or large")
	live := flag.Float64("live", 100, "`MiB` of the live heap")
	outside := flag.Float64("outside", 0, "`MiB` of memory that the runtime does not know, as of a C library")
	rate := flag.Float64("rate", 0, "`MiB` to allocate in a second; 0: as many as possible")
	reads := flag.Bool("compute", false, "read the heap instead of replacing it")
	warm := flag.Duration("warm", time.Second, "`time` between the fill and the measurement")
	measured := flag.Duration("measured", 10*time.Second, "`time` of the measurement")
	flag.Parse()
	sizes, found := kinds[*kind]
	if !found {
		log.Fatalf("there is no kind %q", *kind)
	}

	const mib = 1 << 20
	if *outside > 0 {
		memory, err := syscall.Mmap(-1, 0, int(*outside*mib), syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_POPULATE)
		if err != nil {
			log.Fatal(err)
		}
		defer syscall.Munmap(memory)
	}
	h := heap{dice: rand.New(rand.NewSource(1)), sizes: sizes}
	h.fill(int(*live * mib))
	work := func(end time.Time) { h.replace(end, *rate*mib) }
	if *reads {
		work = h.compute
	}
	work(time.Now().Add(*warm))
	fmt.Println("begin")
	begin, before := time.Now(), h.allocated
	collector, all := cpu()
	work(begin.Add(*measured))
	collectorEnd, allEnd := cpu()
	// The runtime counts at the end of a collection. If there was none, it counted nothing.
	part := 0.0
	if allEnd > all {
		part = (collectorEnd - collector) / (allEnd - all)
	}
	err := json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"collector":      part,
		"mib_per_second": float64(h.allocated-before) / mib / time.Since(begin).Seconds(),
	})
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin)
}
