package couler

import (
	"container/heap"
	"sort"
)

// Order gives the numbers of Steps in an order in which they may run one by
// one, as close to the written order as can be. Steps that wait for each other
// in a circle, or for such steps, are left out.
func (w *Workflow) Order() []int {
	number := make(map[string]int, len(w.Steps))
	for i := range w.Steps {
		number[w.Steps[i].Name] = i
	}
	waits := make([]int, len(w.Steps))
	next := make([][]int, len(w.Steps))
	for i := range w.Steps {
		for _, name := range w.Steps[i].After {
			if j, known := number[name]; known {
				waits[i]++
				next[j] = append(next[j], i)
			}
		}
	}
	ready := &lowest{}
	for i, n := range waits {
		if n == 0 {
			heap.Push(ready, i)
		}
	}
	order := make([]int, 0, len(w.Steps))
	for ready.Len() > 0 {
		i := heap.Pop(ready).(int)
		order = append(order, i)
		for _, j := range next[i] {
			if waits[j]--; waits[j] == 0 {
				heap.Push(ready, j)
			}
		}
	}
	return order
}

// sequential tells whether the steps run one by one in the order they stand.
func (w *Workflow) sequential() bool {
	for i := range w.Steps {
		after := w.Steps[i].After
		if i == 0 && len(after) > 0 || i > 0 && (len(after) != 1 || after[0] != w.Steps[i-1].Name) {
			return false
		}
	}
	return true
}

// lowest is a heap of numbers (container/heap).
type lowest struct{ sort.IntSlice }

func (h *lowest) Push(x any) { h.IntSlice = append(h.IntSlice, x.(int)) }

func (h *lowest) Pop() any {
	last := h.IntSlice[h.Len()-1]
	h.IntSlice = h.IntSlice[:h.Len()-1]
	return last
}
