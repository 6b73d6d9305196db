// Keeps a live heap of a given size and replaces it piece by piece, as a cache under load does. The garbage
// has mixed sizes and many pointers.
package main

import (
	"flag"
	"math/rand"
	"sync"
)

// item is a piece of the live heap: a list of blocks.
type item struct {
	next *item
	data []byte
}

// sizes are the sizes of the blocks in bytes: size classes of Go, so that rounding wastes nothing.
var sizes = []int{48, 64, 96, 160, 256, 416, 512, 896, 1408, 2048, 3072, 5376, 8192, 20480, 73728}

// build makes an item of a few blocks, and returns its size and the item.
func build(dice *rand.Rand) (int, *item) {
	const header = 32
	var first *item
	taken := 0
	for n := 1 + dice.Intn(4); n > 0; n-- {
		// Large blocks are rarer.
		size := sizes[dice.Intn(1+dice.Intn(len(sizes)))]
		block := &item{next: first, data: make([]byte, size)}
		// Writes to the block, as a real program does; otherwise allocation outruns any collector.
		for i := range block.data {
			block.data[i] = byte(i)
		}
		first, taken = block, taken+size+header
	}
	return taken, first
}

// churn keeps `live` bytes alive and replaces them until it has allocated `total` bytes.
func churn(seed int64, live, total int) {
	dice := rand.New(rand.NewSource(seed))
	type slot struct {
		size int
		item *item
	}
	var slots []slot
	held := 0
	for allocated := 0; allocated < total; {
		size, item := build(dice)
		allocated += size
		if held < live {
			slots = append(slots, slot{size, item})
			held += size
			continue
		}
		at := &slots[dice.Intn(len(slots))]
		held += size - at.size
		*at = slot{size, item}
	}
}

func main() {
	live := flag.Int("live", 100, "`MiB` of the live heap")
	total := flag.Int("total", 4096, "`MiB` to allocate in total")
	workers := flag.Int("workers", 2, "`number` of goroutines")
	flag.Parse()

	var group sync.WaitGroup
	for n := 0; n < *workers; n++ {
		group.Add(1)
		go func(seed int64) {
			defer group.Done()
			churn(seed, *live<<20 / *workers, *total<<20 / *workers)
		}(int64(n))
	}
	group.Wait()
}
