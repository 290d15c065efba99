package graph

import (
	"cmp"
	"math"
	"slices"
)

// The layout is Sugiyama's: nodes stand in layers, so that all arrows point
// down; arrows that pass a layer get a place in it (a bend); each layer is
// sorted so that few arrows cross; and then all is moved sideways until
// arrows run as straight as the room allows.

const (
	// maxBends bounds the work for arrows over many layers. Past it they
	// are drawn straight through.
	maxBends = 20_000
	// sweeps is how often the layers are gone through, down and up.
	sweeps = 12
	// maxSorted is up to how many places crossings are counted.
	maxSorted = 5_000
)

// place is where a node stands, or where an arrow passes a layer.
type place struct {
	node     int // or -1 for a bend
	layer    int
	up, down []int   // the places joined to it in the layers above and below
	rank     int     // its turn in the layer, from the left
	x        float64 // of its middle; the drawing begins at 0
}

// layout is a drawing before it has a size.
type layout struct {
	places []place
	layers [][]int
	arrows []arrow
	width  float64 // of the room that all places take
}

// arrow goes from the first place to the last.
type arrow struct{ path []int }

// arrange lays nodes out. A node takes room columns, a bend takes less.
func arrange(nodes []Node, level []int, room, bend float64) *layout {
	l := &layout{places: make([]place, len(nodes))}
	bends := 0
	for i, n := range nodes {
		l.places[i] = place{node: i, layer: level[i]}
		for _, j := range n.After {
			bends += level[i] - level[j] - 1
		}
	}
	for i, n := range nodes {
		for _, j := range n.after() {
			a := arrow{path: []int{j}}
			if bends <= maxBends {
				for layer := level[j] + 1; layer < level[i]; layer++ {
					l.places = append(l.places, place{node: -1, layer: layer})
					a.path = append(a.path, len(l.places)-1)
				}
			}
			a.path = append(a.path, i)
			for k := 1; k < len(a.path); k++ {
				from, to := a.path[k-1], a.path[k]
				l.places[from].down = append(l.places[from].down, to)
				l.places[to].up = append(l.places[to].up, from)
			}
			l.arrows = append(l.arrows, a)
		}
	}
	for p := range l.places {
		layer := l.places[p].layer
		for len(l.layers) <= layer {
			l.layers = append(l.layers, nil)
		}
		l.places[p].rank = len(l.layers[layer])
		l.layers[layer] = append(l.layers[layer], p)
	}
	l.sort()
	l.move(room, bend)
	return l
}

// sort puts each layer in the order of what its places are joined to, above
// and below in turn, and keeps the best result.
func (l *layout) sort() {
	counted := len(l.places) <= maxSorted
	rounds := sweeps
	if !counted {
		rounds = 4
	}
	best, fewest := l.order(), 0
	if counted {
		fewest = l.crossings()
	}
	for s := range rounds {
		if counted && fewest == 0 {
			break
		}
		l.sweep(s%2 == 0, func(layer []int, joined func(p *place) []int) {
			weight := make(map[int]float64, len(layer))
			for _, p := range layer {
				list := joined(&l.places[p])
				if len(list) == 0 {
					weight[p] = float64(l.places[p].rank)
					continue
				}
				sum := 0
				for _, q := range list {
					sum += l.places[q].rank
				}
				weight[p] = float64(sum) / float64(len(list))
			}
			slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(weight[a], weight[b]) })
			for rank, p := range layer {
				l.places[p].rank = rank
			}
		})
		if !counted {
			continue
		}
		if n := l.crossings(); n < fewest {
			best, fewest = l.order(), n
		}
	}
	if counted {
		l.layers = best
		for _, layer := range l.layers {
			for rank, p := range layer {
				l.places[p].rank = rank
			}
		}
	}
}

func (l *layout) order() [][]int {
	order := make([][]int, len(l.layers))
	for i, layer := range l.layers {
		order[i] = slices.Clone(layer)
	}
	return order
}

// sweep goes through the layers downwards or upwards, looking at those that
// were gone through before.
func (l *layout) sweep(downwards bool, visit func(layer []int, joined func(*place) []int)) {
	if downwards {
		for _, layer := range l.layers {
			visit(layer, func(p *place) []int { return p.up })
		}
		return
	}
	for _, layer := range slices.Backward(l.layers) {
		visit(layer, func(p *place) []int { return p.down })
	}
}

// crossings counts the pairs of arrows between neighbouring layers that
// cross: inversions, counted by a tree of sums.
func (l *layout) crossings() int {
	n := 0
	for i, layer := range l.layers[:max(len(l.layers)-1, 0)] {
		sums := make([]int, len(l.layers[i+1])+1)
		seen := 0
		for _, p := range layer {
			ranks := make([]int, 0, len(l.places[p].down))
			for _, q := range l.places[p].down {
				if l.places[q].layer == i+1 {
					ranks = append(ranks, l.places[q].rank)
				}
			}
			for _, r := range ranks {
				left := 0
				for k := r + 1; k > 0; k -= k & -k {
					left += sums[k]
				}
				n += seen - left
			}
			for _, r := range ranks {
				seen++
				for k := r + 1; k < len(sums); k += k & -k {
					sums[k]++
				}
			}
		}
	}
	return n
}

// move gives each place its x.
func (l *layout) move(room, bend float64) {
	half := func(p int) float64 {
		if l.places[p].node < 0 {
			return bend / 2
		}
		return room / 2
	}
	gap := func(p, q int) float64 { return half(p) + half(q) } // between their middles
	for _, layer := range l.layers {
		x := 0.0
		for k, p := range layer {
			if k > 0 {
				x += gap(layer[k-1], p)
			}
			l.places[p].x = x
		}
	}
	for s := range 4 * sweeps {
		l.sweep(s%2 == 0, func(layer []int, joined func(*place) []int) {
			wish := make([]float64, len(layer))
			for k, p := range layer {
				sum, weight := 0.0, 0.0
				add := func(list []int) {
					for _, q := range list {
						pull := l.pull(p, q)
						sum += pull * l.places[q].x
						weight += pull
					}
				}
				if s < sweeps { // first find the place roughly, from one side
					add(joined(&l.places[p]))
				} else {
					add(l.places[p].up)
					add(l.places[p].down)
				}
				wish[k] = l.places[p].x
				if weight > 0 {
					wish[k] = sum / weight
				}
			}
			for k, x := range spread(wish, func(k int) float64 { return gap(layer[k-1], layer[k]) }) {
				l.places[layer[k]].x = x
			}
		})
	}
	for _, a := range l.arrows {
		l.straighten(a, gap)
	}
	left, right := math.Inf(1), math.Inf(-1)
	for p := range l.places {
		left = min(left, l.places[p].x-half(p))
		right = max(right, l.places[p].x+half(p))
	}
	for p := range l.places {
		l.places[p].x -= left
	}
	if len(l.places) > 0 {
		l.width = right - left
	}
}

// pull is how much p wants to stand above or below q. Long arrows are to be
// straight, but not to tear nodes apart that belong together.
func (l *layout) pull(p, q int) float64 {
	switch {
	case l.places[q].node >= 0:
		return 1
	case l.places[p].node >= 0:
		return 0.25
	}
	return 4
}

// straighten puts all bends of an arrow below each other where its neighbours
// leave room.
func (l *layout) straighten(a arrow, gap func(p, q int) float64) {
	bends := a.path[1 : len(a.path)-1]
	if len(bends) < 2 {
		return
	}
	low, high, sum := math.Inf(-1), math.Inf(1), 0.0
	for _, p := range bends {
		layer, rank := l.layers[l.places[p].layer], l.places[p].rank
		if rank > 0 {
			q := layer[rank-1]
			low = max(low, l.places[q].x+gap(q, p))
		}
		if rank < len(layer)-1 {
			q := layer[rank+1]
			high = min(high, l.places[q].x-gap(p, q))
		}
		sum += l.places[p].x
	}
	if low > high {
		return
	}
	x := min(max(sum/float64(len(bends)), low), high)
	for _, p := range bends {
		l.places[p].x = x
	}
}

// spread gives the numbers nearest to wish (by the sum of squares) that keep
// their order and their gaps, where gap(k) is to lie between k-1 and k:
// neighbours that come too near are pooled and moved as one.
func spread(wish []float64, gap func(k int) float64) []float64 {
	type pool struct {
		sum  float64
		size int
	}
	offset := make([]float64, len(wish))
	var pools []pool
	for k, x := range wish {
		if k > 0 {
			offset[k] = offset[k-1] + gap(k)
		}
		pools = append(pools, pool{x - offset[k], 1})
		for n := len(pools); n > 1; n-- {
			a, b := pools[n-2], pools[n-1]
			if a.sum/float64(a.size) <= b.sum/float64(b.size) {
				break
			}
			pools = append(pools[:n-2], pool{a.sum + b.sum, a.size + b.size})
		}
	}
	xs := make([]float64, 0, len(wish))
	for _, p := range pools {
		for range p.size {
			xs = append(xs, p.sum/float64(p.size)+offset[len(xs)])
		}
	}
	return xs
}
