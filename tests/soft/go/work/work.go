// Package work is what the goroutines of the program do.
package work

import (
	"crypto/sha256"
	"fmt"
	"sort"
)

type node struct{ left, right *node }

func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{tree(depth - 1), tree(depth - 1)}
}

func (n *node) count() int {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.count() + n.right.count()
}

// Trees makes n trees of a depth, as garbage, and counts their nodes.
func Trees(n, depth int) (total int64) {
	for i := 0; i < n; i++ {
		total += int64(tree(depth).count())
	}
	return
}

// Digest fills a map and hashes it in order.
func Digest(id int) string {
	m := map[string]int{}
	for i := 0; i < 20000; i++ {
		m[fmt.Sprintf("k%d", i%500)] += i * id
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	h := sha256.New()
	for _, k := range keys {
		fmt.Fprintf(h, "%s=%d;", k, m[k])
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:4])
}
