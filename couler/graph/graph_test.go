package graph_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sqlflow.org/sqlflow_playground/couler/graph"
)

var update = flag.Bool("update", false, "write the golden files anew")

type drawing struct {
	suffix string
	draw   func(io.Writer, []graph.Node) error
}

func drawings() []drawing {
	return []drawing{
		{".txt", graph.Text}, {".mmd", graph.Mermaid}, {".dot", graph.DOT}, {".svg", graph.SVG},
	}
}

// hostile is a label that each format would take for its own language.
const hostile = "SELECT '<b>\"&amp;`</title></text>' -->|x| \\N \\\" %%{init}%% ```\x00\x1b[31m\u202e]]> FROM t;\nsecond line"

// workflows are the graphs of the golden files.
func workflows() map[string][]graph.Node {
	train := []graph.Node{
		{Name: "s1-normal", Label: "CREATE TABLE iris.small AS\n  SELECT * FROM iris.train LIMIT 50;"},
		{Name: "s2-train", Label: "SELECT * FROM iris.small\nTO TRAIN DNNClassifier\nLABEL class\nINTO m;", After: []int{0}},
		{Name: "s3-evaluate", Label: "SELECT * FROM iris.test TO EVALUATE m WITH validation.metrics=\"Accuracy\" LABEL class INTO iris.e;", After: []int{1}},
		{Name: "s4-predict", Label: "SELECT * FROM iris.test TO PREDICT iris.p.class USING m;", After: []int{1}},
		{Name: "s5-normal", Label: "SELECT * FROM iris.p LIMIT 5;", After: []int{3}},
		{Name: "s6-show-train", Label: "SHOW TRAIN m;", After: []int{1}},
		{Name: "s7-normal", Label: "DROP TABLE iris.small;", After: []int{1}},
		{Name: "s8-normal", Label: "INSERT INTO iris.report SELECT * FROM iris.e, iris.p;", After: []int{2, 3}},
	}
	running := make([]graph.Node, len(train))
	for i, s := range []graph.State{
		graph.Succeeded, graph.Succeeded, graph.Failed, graph.Running, graph.Pending, graph.Succeeded, graph.Error, graph.Skipped,
	} {
		running[i] = train[i]
		running[i].State = s
	}
	sequence := make([]graph.Node, 4)
	for i := range sequence {
		sequence[i] = train[i]
		sequence[i].After = nil
		if i > 0 {
			sequence[i].After = []int{i - 1}
		}
	}
	return map[string][]graph.Node{
		"empty":    nil,
		"one":      {{Name: "s1-normal", Label: "SELECT 1;"}},
		"sequence": sequence,
		"train":    train,
		"running":  running,
		"roots": {
			{Name: "s1-normal", Label: "SELECT 1"}, {Name: "s2-normal", Label: "SELECT 2"}, {Name: "s3-normal"},
			{Name: "s4-normal", Label: "SELECT '数据库' FROM 表;", After: []int{2}},
			{Name: "s5-normal", Label: "SELECT 5", After: []int{0, 1, 3}},
		},
		"layers": {
			{Name: "a", Label: "INSERT INTO a"}, {Name: "b", Label: "INSERT INTO b"}, {Name: "c", Label: "INSERT INTO c"},
			{Name: "d", After: []int{0, 1}}, {Name: "e", After: []int{0, 2}}, {Name: "f", After: []int{1}},
			{Name: "g", After: []int{3, 4}}, {Name: "h", After: []int{5, 3}}, {Name: "i", After: []int{4}},
			{Name: "j", After: []int{0, 6, 7, 8}}, {Name: "k", After: []int{2, 9}},
		},
		"hostile": {
			{Name: hostile, Label: hostile, State: "no <state>"},
			{Name: "s2", Label: strings.Repeat("数", 100_000), State: graph.Running, After: []int{0, 0}},
			{Name: "s3", Label: "\xff\xfe\n\n x", After: []int{1}},
			{Name: "s4", Label: " \n\t ", After: []int{2}},
		},
	}
}

func TestDrawings(t *testing.T) {
	t.Parallel()
	for name, nodes := range workflows() {
		for _, d := range drawings() {
			t.Run(name+d.suffix, func(t *testing.T) {
				t.Parallel()
				var got bytes.Buffer
				if err := d.draw(&got, nodes); err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join("testdata", name+d.suffix)
				if *update {
					if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
				}
				if !utf8.Valid(got.Bytes()) || bytes.ContainsAny(got.Bytes(), "\x00\x1b\u202e") {
					t.Errorf("it holds what is not to be printed:\n%q", got.Bytes())
				}
				if d.suffix == ".svg" {
					checkSVG(t, got.Bytes(), nodes)
				}
			})
		}
	}
}

// checkSVG makes sure that a picture is XML, has a box for each node and an
// arrow for each dependency, and that text stayed text.
func checkSVG(t *testing.T, picture []byte, nodes []graph.Node) {
	t.Helper()
	known := map[string]bool{}
	for name := range strings.FieldsSeq("svg title style defs marker path rect g text circle") {
		known[name] = true
	}
	count := make(map[string]int)
	decoder := xml.NewDecoder(bytes.NewReader(picture))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, picture)
		}
		if e, ok := token.(xml.StartElement); ok {
			if !known[e.Name.Local] || e.Name.Space != "http://www.w3.org/2000/svg" {
				t.Errorf("there is an element %v", e.Name)
			}
			count[e.Name.Local]++
			for _, a := range e.Attr {
				if a.Name.Local == "class" && a.Value == "arrow" {
					count["arrow"]++
				}
			}
		}
	}
	arrows := 0
	for _, n := range nodes {
		distinct := make(map[int]bool)
		for _, j := range n.After {
			distinct[j] = true
		}
		arrows += len(distinct)
	}
	if count["g"] != len(nodes) || count["arrow"] != arrows {
		t.Errorf("%d boxes and %d arrows, want %d and %d", count["g"], count["arrow"], len(nodes), arrows)
	}
}

func TestWhatCannotBeDrawn(t *testing.T) {
	t.Parallel()
	for want, nodes := range map[string][]graph.Node{
		`graph: "a" waits for node 1 of 1`:                                           {{Name: "a", After: []int{1}}},
		`graph: "b" waits for node -1 of 1`:                                          {{Name: "b", After: []int{-1}}},
		`graph: "c" waits for itself, or for nodes that wait for each other`:         {{Name: "c", After: []int{0}}},
		`graph: "d" waits for itself, or for nodes that wait for each other`:         {{Name: "d", After: []int{1}}, {Name: "e", After: []int{0}}},
		`graph: "say \"x\"" waits for itself, or for nodes that wait for each other`: {{Name: `say "x"`, After: []int{0}}},
	} {
		for _, d := range drawings() {
			if err := d.draw(io.Discard, nodes); err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", d.suffix, err, want)
			}
		}
	}
}

func TestAWriterThatFailsIsTold(t *testing.T) {
	t.Parallel()
	for _, d := range drawings() {
		file, err := os.Open(os.DevNull) // for reading only
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := d.draw(file, workflows()["train"]); err == nil {
			t.Errorf("%s tells nothing", d.suffix)
		}
	}
}

// big makes n nodes that wait for some of those before them.
func big(n, fan int) []graph.Node {
	r := rand.New(rand.NewPCG(1, 2))
	nodes := make([]graph.Node, n)
	for i := range nodes {
		nodes[i] = graph.Node{Name: fmt.Sprintf("s%d-normal", i+1), Label: "SELECT * FROM t;"}
		for range fan {
			if i > 0 {
				nodes[i].After = append(nodes[i].After, max(0, i-1-r.IntN(20)))
			}
		}
	}
	return nodes
}

func TestBigWorkflowsAreDrawnInTime(t *testing.T) {
	t.Parallel()
	comb := make([]graph.Node, 10_000) // a branch of a branch of a branch ...
	for i := range comb {
		comb[i].Name = fmt.Sprint("s", i+1)
		if i > 0 {
			comb[i].After = []int{(i - 1) / 2 * 2}
		}
	}
	star := make([]graph.Node, 10_000)
	last := &star[len(star)-1]
	for i := range len(star) - 1 {
		star[i].Name = fmt.Sprint("s", i+1)
		last.After = append(last.After, i)
	}
	for name, nodes := range map[string][]graph.Node{
		"chain": big(10_000, 1), "mesh": big(10_000, 3), "comb": comb, "star": star,
	} {
		for _, d := range drawings() {
			t.Run(name+d.suffix, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				began := time.Now()
				if err := d.draw(&out, nodes); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > time.Minute || out.Len() > 16<<20 {
					t.Errorf("%d bytes in %v", out.Len(), took)
				}
			})
		}
	}
}

func FuzzSVG(f *testing.F) {
	f.Add("s1", hostile, "running")
	f.Add("\xff", "\u2028\ufffe]]>", "")
	f.Fuzz(func(t *testing.T, name, label, state string) {
		nodes := []graph.Node{{Name: name, Label: label, State: graph.State(state)}, {Name: label, Label: name, After: []int{0}}}
		var picture bytes.Buffer
		if err := graph.SVG(&picture, nodes); err != nil {
			t.Fatal(err)
		}
		checkSVG(t, picture.Bytes(), nodes)
		// The other formats keep a node on its own lines.
		for _, d := range drawings()[:3] {
			var plain, drawn bytes.Buffer
			if err := d.draw(&drawn, nodes); err != nil {
				t.Fatal(err)
			}
			nodes := []graph.Node{{Name: "a", Label: "b", State: graph.State(state)}, {Name: "b", Label: "a", After: []int{0}}}
			if err := d.draw(&plain, nodes); err != nil {
				t.Fatal(err)
			}
			if got, want := bytes.Count(drawn.Bytes(), []byte("\n")), bytes.Count(plain.Bytes(), []byte("\n")); got != want {
				t.Fatalf("%d lines, want %d:\n%s", got, want, drawn.Bytes())
			}
		}
	})
}

func BenchmarkSVG(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		nodes := big(n, 2)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if err := graph.SVG(io.Discard, nodes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
