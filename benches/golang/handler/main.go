// A typical service: it answers each request by decoding, sorting and encoding a little JSON, which takes a
// few milliseconds and makes a megabyte of garbage, and it keeps a cache. GET /threads returns the GOMAXPROCS
// of the runtime.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"
	"sort"
)

// reading is an entry of the document.
type reading struct {
	Name  string             `json:"name"`
	Level float64            `json:"level"`
	Tags  []string           `json:"tags"`
	Parts map[string]float64 `json:"parts"`
}

func readings(count int) []reading {
	list := make([]reading, count)
	for i := range list {
		list[i] = reading{
			Name:  fmt.Sprintf("gauge-%05d", i*7919%count),
			Level: float64(i) / 8,
			Tags:  []string{"harbour", fmt.Sprintf("pier-%d", i%7)},
			Parts: map[string]float64{"low": float64(i), "high": float64(i + 1)},
		}
	}
	return list
}

func main() {
	address := flag.String("listen", ":8080", "`address` to listen on")
	entries := flag.Int("entries", 1000, "`number` of entries in the document of a request")
	cached := flag.Int("cached", 50_000, "`number` of entries in the cache")
	flag.Parse()

	document, err := json.Marshal(readings(*entries))
	if err != nil {
		log.Fatal(err)
	}
	// The live heap that each collection has to mark.
	cache := readings(*cached)

	http.HandleFunc("/threads", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, runtime.GOMAXPROCS(0))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var list []reading
		if err := json.Unmarshal(document, &list); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
		body, err := json.Marshal(list)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(body)
	})
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	err = http.Serve(listener, nil)
	runtime.KeepAlive(cache)
	log.Fatal(err)
}
