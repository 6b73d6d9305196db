// Works through one of several loads, whose memory grows with -size, in a container of -limit. What does not
// grow with the size, such as the rows of other projects, is a part of the limit, so that loads are alike in
// containers of all sizes. It exits with 0 if all work was done and the results are right.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

const mib = 1 << 20

// loads are the loads by name. All take bytes, and a directory for a file.
var loads = map[string]func(size, limit int, directory string){
	"json":    func(size, limit int, _ string) { answer(size, limit) },
	"steady":  func(size, limit int, _ string) { replace(size, 3*limit, nil) },
	"stacks":  func(size, limit int, _ string) { stacks(size, limit) },
	"whole":   readWhole,
	"outside": func(size, limit int, _ string) { replace(size, 3*limit, outside(limit*15/100)) },
	"mapped": func(size, limit int, directory string) {
		file := sparse(directory, limit/4)
		defer file.Close()
		replace(size, 3*limit, mapped(file, limit/4))
	},
	"pages": func(size, limit int, directory string) {
		file := sparse(directory, 2*limit)
		defer file.Close()
		replace(size, 3*limit, pages(file, 2*limit))
	},
	"cache": func(size, limit int, _ string) { fill(size, 2*limit) },
}

// Row is that of examples/service.
type Row struct {
	ID       int       `json:"id"`
	Project  string    `json:"project"`
	Sensor   string    `json:"sensor"`
	Location string    `json:"location"`
	Value    float64   `json:"value"`
	Unit     string    `json:"unit"`
	Time     time.Time `json:"time"`
	Comment  string    `json:"comment"`
}

const (
	rowBytes = 120
	// Bytes of a row's JSON.
	rowJSON = 210
	answers = 3
)

func measure(project string, count int) []Row {
	rows := make([]Row, count)
	first := time.Date(2024, time.March, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		rows[i] = Row{
			ID:       i + 1,
			Project:  project,
			Sensor:   "gauge-017",
			Location: "berth 17, pier 3",
			Value:    float64(i%9000) / 8,
			Unit:     "cm",
			Time:     first.Add(time.Duration(i) * time.Minute),
			Comment:  "level read by station 11, checked against its neighbours",
		}
	}
	return rows
}

// answer is the service of examples/service with its client: `size` bytes of JSON in each of some answers in
// a row, beside the rows of other projects.
func answer(size, limit int) {
	store := map[string][]Row{
		"harbour": measure("harbour", size/rowJSON),
		"canal":   measure("canal", limit*15/100/rowBytes),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := json.Marshal(store[r.URL.Path[1:]])
		check(err)
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}))
	buffer := make([]byte, 64<<10)
	for n := 0; n < answers; n++ {
		response, err := http.Get("http://" + listener.Addr().String() + "/harbour")
		check(err)
		rows := 0
		for err == nil {
			var read int
			read, err = response.Body.Read(buffer)
			rows += bytes.Count(buffer[:read], []byte("{"))
		}
		response.Body.Close()
		if err != io.EOF || rows != len(store["harbour"]) {
			log.Fatalf("%d rows of %d: %v", rows, len(store["harbour"]), err)
		}
	}
}

// item is a piece of a live heap: a list of blocks.
type item struct {
	next *item
	data []byte
}

// sizes are the sizes of the blocks in bytes: size classes of Go, so that rounding wastes nothing.
var sizes = []int{48, 64, 96, 160, 256, 416, 512, 896, 1408, 2048, 3072, 5376, 8192, 20480, 73728}

// pattern is what blocks are filled with: a real program writes to its memory.
var pattern = bytes.Repeat([]byte("loadline"), 16<<10)

// build makes an item of a few blocks, and returns its size and the item.
func build(dice *rand.Rand) (int, *item) {
	const header = 32
	var first *item
	taken := 0
	for n := 1 + dice.Intn(4); n > 0; n-- {
		// Large blocks are rarer.
		size := sizes[dice.Intn(1+dice.Intn(len(sizes)))]
		block := &item{next: first, data: make([]byte, size)}
		copy(block.data, pattern)
		first, taken = block, taken+size+header
	}
	return taken, first
}

// replace keeps `live` bytes alive and replaces them piece by piece, as a busy program does, until it has
// allocated `total` bytes more. `beside` is called for every 64 KiB, if there is one.
func replace(live, total int, beside func(dice *rand.Rand)) {
	const workers = 2
	type slot struct {
		size int
		item *item
	}
	var group sync.WaitGroup
	for n := 0; n < workers; n++ {
		group.Add(1)
		go func(dice *rand.Rand) {
			defer group.Done()
			slots := make([]slot, 0, live/workers/4096)
			held := 0
			for allocated, due := 0, 0; allocated < (live+total)/workers; {
				size, item := build(dice)
				allocated += size
				if allocated > due && beside != nil {
					beside(dice)
					due += 64 << 10
				}
				if held < live/workers {
					slots = append(slots, slot{size, item})
					held += size
					continue
				}
				at := &slots[dice.Intn(len(slots))]
				held += size - at.size
				*at = slot{size, item}
			}
			for _, slot := range slots {
				if !bytes.Equal(slot.item.data, pattern[:len(slot.item.data)]) {
					log.Fatal("a block has changed")
				}
			}
		}(rand.New(rand.NewSource(int64(n))))
	}
	group.Wait()
}

// outside takes memory that the runtime does not know, as a C library does: anonymous pages.
func outside(size int) func(*rand.Rand) {
	memory, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	check(err)
	for at := 0; at < size; at += 4096 {
		memory[at] = 1
	}
	return func(dice *rand.Rand) {
		if memory[dice.Intn(size)&^4095] != 1 {
			log.Fatal("a page has changed")
		}
	}
}

// mapped reads a mapped file at random, as a database does; mostly the same fifth of it.
func mapped(file *os.File, size int) func(*rand.Rand) {
	memory, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	check(err)
	// As bbolt does: without it, each fault reads 32 pages.
	check(syscall.Madvise(memory, syscall.MADV_RANDOM))
	return func(dice *rand.Rand) {
		for n := 0; n < 5; n++ {
			reach := size
			if n > 0 {
				reach /= 5
			}
			if memory[dice.Intn(reach)] != 0 {
				log.Fatal("a page has changed")
			}
		}
	}
}

// pages reads a file from one end to the other, over and over: the page cache takes what memory is left.
func pages(file *os.File, size int) func(*rand.Rand) {
	var lock sync.Mutex
	buffer := make([]byte, 64<<10)
	at := 0
	return func(*rand.Rand) {
		lock.Lock()
		defer lock.Unlock()
		read, err := file.ReadAt(buffer, int64(at))
		if err != io.EOF {
			check(err)
		}
		if at += read; at >= size {
			at = 0
		}
	}
}

// sparse makes a file without blocks, whose pages are zeroes. It has no name, so that its pages go with the
// process and never count as those of another run.
func sparse(directory string, size int) *os.File {
	file, err := os.CreateTemp(directory, "sparse")
	check(err)
	check(os.Remove(file.Name()))
	check(file.Truncate(int64(size)))
	return file
}

// readWhole reads a file whole, some times in a row: with its size known, and as a stream. Beside it, a part
// of the limit is live.
func readWhole(size, limit int, directory string) {
	file := sparse(directory, size)
	defer file.Close()
	live := hold(limit * 15 / 100)
	for n := 0; n < 4; n++ {
		var data []byte
		_, err := file.Seek(0, io.SeekStart)
		check(err)
		if n%2 == 0 {
			data = make([]byte, size)
			_, err = io.ReadFull(file, data)
		} else {
			data, err = io.ReadAll(file)
		}
		check(err)
		if len(data) != size || bytes.Count(data, []byte{0}) != size {
			log.Fatal("the file has changed")
		}
	}
	verify(live)
}

// stacks runs waves of goroutines with deep stacks, and buffers for each: one is kept, the others are garbage.
// `size` is the sum of the stacks.
func stacks(size, limit int) {
	const stack, frame, buffer, waves = 64 << 10, 1 << 10, 16 << 10, 3
	live := hold(limit * 15 / 100)
	for wave := 0; wave < waves; wave++ {
		var deep, done sync.WaitGroup
		release := make(chan struct{})
		for n := 0; n < size/stack; n++ {
			deep.Add(1)
			done.Add(1)
			go func() {
				defer done.Done()
				var own []byte
				for n := 0; n < 4; n++ {
					own = append([]byte(nil), pattern[:buffer]...)
				}
				// Of the stack of 64 KiB, which is half as large before it grows, three quarters are used.
				if sum := descend(stack*3/4/frame, &deep, release); sum != stack*3/4/frame || own[1] != 'o' {
					log.Fatal("a stack has changed")
				}
			}()
		}
		deep.Wait()
		close(release)
		done.Wait()
	}
	verify(live)
}

// descend uses a KiB of stack for each level, waits at the deepest, and returns the number of levels.
//
//go:noinline
func descend(levels int, deep *sync.WaitGroup, release chan struct{}) int {
	var frame [900]byte
	if levels == 0 {
		deep.Done()
		<-release
		return 0
	}
	frame[levels] = 1
	return descend(levels-1, deep, release) + int(frame[levels])
}

// hold makes a live heap.
func hold(size int) []*item {
	var live []*item
	for dice := rand.New(rand.NewSource(1)); size > 0; {
		taken, item := build(dice)
		live = append(live, item)
		size -= taken
	}
	return live
}

func verify(live []*item) {
	for _, item := range live {
		if !bytes.Equal(item.data, pattern[:len(item.data)]) {
			log.Fatal("a block has changed")
		}
	}
}

// fill fills a cache to `target` bytes and replaces its oldest entries, until it has stored `more` bytes
// after that. Each entry is copied from a message that is garbage afterwards.
func fill(target, more int) {
	const overhead = 100
	cache := map[string][]byte{}
	dice := rand.New(rand.NewSource(1))
	held, oldest, next := 0, 0, 0
	for stored := 0; stored < target+more; next++ {
		message := make([]byte, 64+dice.Intn(4096))
		copy(message, pattern)
		value := append([]byte(nil), message...)
		cache[fmt.Sprint("key-", next)] = value
		held += len(value) + overhead
		stored += len(value) + overhead
		for ; held > target; oldest++ {
			key := fmt.Sprint("key-", oldest)
			held -= len(cache[key]) + overhead
			delete(cache, key)
		}
	}
	if len(cache) != next-oldest {
		log.Fatal("an entry is missing")
	}
	for _, value := range cache {
		if !bytes.Equal(value, pattern[:len(value)]) {
			log.Fatal("an entry has changed")
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	load := flag.String("load", "json", "`name` of the load")
	size := flag.Float64("size", 10, "what grows, in `MiB`")
	limit := flag.Float64("limit", 400, "the limit of the container in `MiB`")
	directory := flag.String("directory", os.TempDir(), "`path` for a file on a disc")
	flag.Parse()
	run, found := loads[*load]
	if !found {
		log.Fatalf("there is no load %q", *load)
	}
	run(int(*size*mib), int(*limit*mib), *directory)
}
