// A small, ordinary REST service: GET /projects/ID/rows answers with all rows of a project as JSON. It
// does not know the memory and CPU limits of its container.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// Row is one measurement of a project.
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

// Store holds the rows of each project in memory.
type Store map[string][]Row

// gauge is a measuring device.
type gauge struct{ name, location, comment string }

// load fills the store with one project of this many rows and two others, or with a part of that for a
// slow machine.
func load(rows, part int) Store {
	gauges := make([]gauge, 500)
	for i := range gauges {
		gauges[i] = gauge{
			name:     fmt.Sprintf("gauge-%03d", i),
			location: fmt.Sprintf("berth %d, pier %d", i%40, i%7),
			comment:  fmt.Sprintf("level read by station %d, checked against its neighbours", i%12),
		}
	}
	return Store{
		"harbour": measure("harbour", gauges, rows/part),
		"canal":   measure("canal", gauges, 300_000/part),
		"lock":    measure("lock", gauges, 210_000/part),
	}
}

// measure invents the rows of a project.
func measure(project string, gauges []gauge, count int) []Row {
	rows := make([]Row, count)
	first := time.Date(2024, time.March, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		by := gauges[i%len(gauges)]
		rows[i] = Row{
			ID:       i + 1,
			Project:  project,
			Sensor:   by.name,
			Location: by.location,
			Value:    float64(i%9000) / 8,
			Unit:     "cm",
			Time:     first.Add(time.Duration(i) * time.Minute),
			Comment:  by.comment,
		}
	}
	return rows
}

// rows answers GET /projects/ID/rows.
func (s Store) rows(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/projects/"), "/rows")
	rows, found := s[id]
	if !found {
		http.NotFound(w, r)
		return
	}
	body, err := json.Marshal(rows)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func main() {
	address := flag.String("listen", ":8080", "`address` to listen on")
	// The JSON of 315,000 rows takes 66 MB.
	rows := flag.Int("rows", 315_000, "`number` of rows of the largest project")
	part := flag.Int("part", 1, "hold one `n`th of the rows")
	flag.Parse()

	store := load(*rows, *part)
	http.HandleFunc("/projects/", store.rows)
	http.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	http.HandleFunc("/metrics", goMetrics)
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
