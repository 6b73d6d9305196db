// Takes memory in the ways that programs do: a live heap whose pieces are replaced all the time, a
// leak, stacks, files that are read and written, files in a tmpfs.
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"time"
)

const mib = 1 << 20

// item is a piece of the heap, written so that it takes its memory.
type item struct {
	next *item
	data []byte
}

// sizes are Go's size classes, so that nothing is lost to rounding.
var sizes = []int{64, 256, 512, 1408, 3072, 8192, 20480, 73728}

func build(dice *rand.Rand) (int, *item) {
	// The larger, the rarer.
	size := sizes[dice.Intn(1+dice.Intn(len(sizes)))]
	block := &item{data: make([]byte, size)}
	for i := 0; i < size; i += 64 {
		block.data[i] = byte(i)
	}
	return size + 32, block
}

// pace sleeps until so many bytes may have been taken at a rate in MiB a second; 0 is no limit.
func pace(begin time.Time, taken, rate int) {
	if rate > 0 {
		time.Sleep(time.Until(begin.Add(time.Duration(float64(taken) / float64(rate*mib) * 1e9))))
	}
}

// churn keeps so many bytes alive and replaces them at a rate, as a cache under load does.
func churn(seed int64, live, rate int) {
	dice := rand.New(rand.NewSource(seed))
	var slots []*item
	for held := 0; held < live; {
		size, block := build(dice)
		slots, held = append(slots, block), held+size
	}
	begin, taken := time.Now(), 0
	for {
		size, block := build(dice)
		slots[dice.Intn(len(slots))] = block
		taken += size
		pace(begin, taken, rate)
	}
}

// leak keeps all of it; a rate of 0 is as fast as can be.
func leak(rate int) {
	const piece = 128 << 10
	var first *item
	begin, taken := time.Now(), 0
	for {
		first = &item{first, make([]byte, piece)}
		for i := 0; i < piece; i += 4096 {
			first.data[i] = 1
		}
		taken += piece
		pace(begin, taken, rate)
	}
}

// deep takes some kilobytes of stack and makes garbage now and then.
func deep(levels int, wait time.Duration) byte {
	var here [512]byte
	here[levels%512] = byte(levels)
	if levels > 0 {
		return deep(levels-1, wait) + here[0]
	}
	for {
		time.Sleep(wait)
		block := make([]byte, 4096)
		here[int(block[0])] = 1
	}
}

// read goes through a file again and again.
func read(name string) {
	buffer := make([]byte, mib)
	for {
		file, err := os.Open(name)
		check(err)
		for {
			if n, _ := file.Read(buffer); n == 0 {
				break
			}
		}
		file.Close()
	}
}

// write fills a file up to a size, again and again, or just once.
func write(name string, size int, again bool) {
	buffer := make([]byte, mib/4)
	for {
		file, err := os.Create(name)
		check(err)
		for n := 0; n < size; n += len(buffer) {
			_, err = file.Write(buffer)
			check(err)
		}
		file.Close()
		if !again {
			return
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	live := flag.Int("live", 0, "`MiB` of live heap, replaced all the time")
	rate := flag.Int("rate", 0, "`MiB` a second of it to replace, 0 for as many as can be")
	leaked := flag.Int("leak", -1, "`MiB` a second to leak, 0 for as many as can be")
	after := flag.Duration("after", 0, "`time` after which the leak begins")
	stacks := flag.Int("stacks", 0, "`number` of goroutines with stacks of 16 KiB")
	reads := flag.String("read", "", "`file` to read all the time")
	writes := flag.String("write", "", "`file` to write all the time")
	size := flag.Int("size", 0, "`MiB` of that file")
	tmpfs := flag.String("tmpfs", "", "`file` in a tmpfs to write, once")
	held := flag.Int("held", 0, "`MiB` of that file")
	length := flag.Duration("for", 10*time.Second, "`time` to run")
	flag.Parse()

	if *tmpfs != "" {
		write(*tmpfs, *held*mib, false)
	}
	for n := 0; n < *stacks; n++ {
		go deep(16, time.Duration(500+n%500)*time.Millisecond)
	}
	if *live > 0 {
		go churn(1, *live*mib/2, *rate/2)
		go churn(2, *live*mib/2, *rate/2)
	}
	if *reads != "" {
		go read(*reads)
	}
	if *writes != "" {
		go write(*writes, *size*mib, true)
	}
	if *leaked >= 0 {
		time.AfterFunc(*after, func() { leak(*leaked) })
	}
	time.Sleep(*length)
}
