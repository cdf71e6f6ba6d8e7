package engine

// roster is an unordered set that can be walked a piece at a time while members come and go: the sweep holds the engine's lock
// for one piece only.
type roster[T any] struct {
	members []*T
	at      func(*T) *int // where a member keeps its position
}

func (r *roster[T]) add(m *T) {
	*r.at(m) = len(r.members)
	r.members = append(r.members, m)
}

func (r *roster[T]) remove(m *T) {
	i, last := *r.at(m), len(r.members)-1
	r.members[i] = r.members[last]
	*r.at(r.members[i]) = i
	r.members[last] = nil
	r.members = r.members[:last]
}

// backwards calls f for up to n members below position from, last first, and returns the next position; removing the visited
// member is allowed.
func (r *roster[T]) backwards(from, n int, f func(*T)) int {
	i := min(from, len(r.members)) - 1
	for ; i >= 0 && n > 0; n-- {
		f(r.members[i])
		i = min(i, len(r.members)) - 1
	}
	return i + 1
}
