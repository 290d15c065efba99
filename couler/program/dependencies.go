package program

import "slices"

// Dependencies gives for each statement the indices of the earlier statements
// that it must wait for, in rising order. A statement waits for those that
// write what it reads, write what it writes, or read what it writes, and for
// barriers; never for one that another of them waits for already.
//
// In doubt a statement waits. A name without a database may be a table of any
// database, even behind USE: each statement runs in a session of its own, so
// whether USE reaches it depends on the engine. A view and a foreign key that
// the program makes are followed to the tables behind them. After CREATE
// TRIGGER, FUNCTION, PROCEDURE or EVENT all statements run one by one. In a
// program longer than 16,384 statements some more wait than need to; and a
// statement that more than 512 others concern waits for all before it.
func Dependencies(statements []Statement) [][]int {
	o := order{waits: make([][]int, len(statements)), barrier: -1}
	o.restart(0)
	hidden := false
	for i, s := range statements {
		e := s.effects()
		if hidden || e.barrier != "" || i-o.begin >= maxStretch || !o.add(i, e) {
			o.wall(i)
		}
		hidden = hidden || e.hidden
	}
	return o.waits
}

const (
	// maxStretch bounds the statements between two barriers: the memory
	// for who reaches whom grows with its square, to 16 MiB.
	maxStretch = 1 << 14
	// maxWaits bounds how many earlier statements concern one, and how
	// many tables are tied to one. What exceeds it becomes a barrier, which
	// keeps time and result from growing with the square of the program.
	maxWaits = 512
)

// order is the work of Dependencies between two barriers.
type order struct {
	waits   [][]int
	barrier int // the last barrier, or -1
	begin   int // the first statement behind it

	reached  [][]uint64 // for each since begin: whom it waits for, also through others
	awaited  []bool     // for each since begin: whether another waits for it
	families map[string]*family
	ties     map[string][]tie
	scratch  []uint64
}

// family holds who last touched the tables of one name, by their database.
type family struct {
	known   map[string]*touched
	unknown touched // under the name alone, which may be any of them
}

// touched is the last statement that wrote a table, or -1, and those that
// have read it since.
type touched struct {
	writer  int
	readers []int
}

// restart begins behind a barrier, before statement i.
func (o *order) restart(i int) {
	o.begin = i
	o.reached, o.awaited = o.reached[:0], o.awaited[:0]
	o.families = make(map[string]*family)
	if o.ties == nil {
		o.ties = make(map[string][]tie)
	}
}

// wall makes statement i a barrier.
func (o *order) wall(i int) {
	var waits []int
	for j, awaited := range o.awaited {
		if !awaited {
			waits = append(waits, o.begin+j)
		}
	}
	if waits == nil && o.barrier >= 0 {
		waits = []int{o.barrier}
	}
	o.waits[i] = waits
	o.barrier = i
	o.restart(i + 1)
}

// add lets statement i wait as its effects demand. It tells false, and has
// done nothing, when the statement is better made a barrier.
func (o *order) add(i int, e effects) bool {
	reads, ok := o.follow(e.reads, func(t tie) []name { return t.reads })
	writes, fine := o.follow(e.writes, func(t tie) []name { return t.writes })
	if !ok || !fine {
		return false
	}
	var before []int
	for _, n := range reads {
		before = o.before(before, n, false)
	}
	for _, n := range writes {
		before = o.before(before, n, true)
	}
	if !o.wait(i, before) {
		return false
	}
	for _, n := range reads {
		o.touch(i, n, false)
	}
	for _, n := range writes {
		o.touch(i, n, true)
	}
	for _, t := range e.ties {
		if list := o.ties[t.of.base]; len(list) <= maxWaits {
			o.ties[t.of.base] = append(list, t)
		}
	}
	return true
}

// follow adds to names what is tied to them, if that is not too much.
func (o *order) follow(names []name, of func(tie) []name) ([]name, bool) {
	if len(o.ties) == 0 || len(names) == 0 {
		return names, true
	}
	seen := make(map[name]bool)
	var list []name
	add := func(more []name) {
		for _, n := range more {
			if !seen[n] {
				seen[n] = true
				list = append(list, n)
			}
		}
	}
	add(names)
	for i := 0; i < len(list); i++ {
		ties := o.ties[list[i].base]
		if len(ties) > maxWaits {
			return nil, false
		}
		for _, t := range ties {
			if t.of.mayBe(list[i]) {
				add(of(t))
			}
			if len(list) > len(names)+maxWaits {
				return nil, false
			}
		}
	}
	return list, true
}

// before adds to list whom a statement that touches n must wait for.
func (o *order) before(list []int, n name, write bool) []int {
	f := o.families[n.base]
	if f == nil {
		return list
	}
	add := func(t *touched) {
		if t.writer >= 0 {
			list = append(list, t.writer)
		}
		if write {
			list = append(list, t.readers...)
		}
	}
	add(&f.unknown)
	if n.db == "" {
		for _, t := range f.known { // in any order: the list is sorted
			add(t)
		}
	} else if t := f.known[n.db]; t != nil {
		add(t)
	}
	return list
}

// touch notes that statement i touches n.
func (o *order) touch(i int, n name, write bool) {
	f := o.families[n.base]
	if f == nil {
		f = &family{known: make(map[string]*touched), unknown: touched{writer: -1}}
		o.families[n.base] = f
	}
	t := &f.unknown
	if n.db != "" {
		if t = f.known[n.db]; t == nil {
			t = &touched{writer: -1}
			f.known[n.db] = t
		}
	} else if write {
		clear(f.known) // whoever waits for this one waits for them too
	}
	if write {
		t.writer, t.readers = i, t.readers[:0]
	} else if k := len(t.readers); k == 0 || t.readers[k-1] != i {
		t.readers = append(t.readers, i)
	}
}

// wait keeps of those before statement i the ones that no other of them waits
// for. It tells false, and has done nothing, when there are too many.
func (o *order) wait(i int, before []int) bool {
	slices.Sort(before)
	before = slices.Compact(before)
	if len(before) > maxWaits {
		return false
	}
	words := (i-o.begin)/64 + 1
	if cap(o.scratch) < words {
		o.scratch = make([]uint64, 2*words)
	}
	row := o.scratch[:words]
	clear(row)
	var waits []int
	for _, j := range slices.Backward(before) { // the latest may wait for the others
		k := j - o.begin
		if row[k/64]&(1<<(k%64)) != 0 {
			continue
		}
		waits = append(waits, j)
		row[k/64] |= 1 << (k % 64)
		for w, b := range o.reached[k] {
			row[w] |= b
		}
	}
	slices.Reverse(waits)
	for _, j := range waits {
		o.awaited[j-o.begin] = true
	}
	var kept []uint64
	if len(waits) > 0 {
		kept = slices.Clone(row[:used(row)])
	} else if o.barrier >= 0 {
		waits = []int{o.barrier}
	}
	o.waits[i] = waits
	o.reached = append(o.reached, kept)
	o.awaited = append(o.awaited, false)
	return true
}

// used is the length of a row without the zeros at its end.
func used(row []uint64) int {
	n := len(row)
	for n > 0 && row[n-1] == 0 {
		n--
	}
	return n
}
