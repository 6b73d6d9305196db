// Keeps a live heap of a given size and replaces it piece by piece, as a cache under load does: what
// is replaced is garbage, of mixed sizes and full of pointers.
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

// sizes are those of the blocks in bytes: of Go's size classes, so that nothing is lost to rounding.
var sizes = []int{48, 64, 96, 160, 256, 416, 512, 896, 1408, 2048, 3072, 5376, 8192, 20480, 73728}

// build makes an item of a few blocks: what it takes, and the item.
func build(dice *rand.Rand) (int, *item) {
	const header = 32
	var first *item
	taken := 0
	for n := 1 + dice.Intn(4); n > 0; n-- {
		// The larger, the rarer.
		size := sizes[dice.Intn(1+dice.Intn(len(sizes)))]
		block := &item{next: first, data: make([]byte, size)}
		// A program writes what it allocates, or it would outrun any collector.
		for i := range block.data {
			block.data[i] = byte(i)
		}
		first, taken = block, taken+size+header
	}
	return taken, first
}

// churn keeps so many bytes alive and replaces them until it has allocated another number.
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
	live := flag.Int("live", 100, "`MiB` that are alive at a time")
	total := flag.Int("total", 4096, "`MiB` to allocate in all")
	workers := flag.Int("workers", 2, "`number` of goroutines that do it")
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
