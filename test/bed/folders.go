package bed

import "path/filepath"

// Cache gives the folder that holds what is slow to make, see CacheVariable.
// It outlives the cluster.
func (b *Bed) Cache() string { return cacheOf(b.dir) }

// Extra gives the path of a file or folder for what is put on top of the
// cluster, such as the log of a further controller. Down removes it.
func (b *Bed) Extra(elements ...string) string {
	return b.path(append([]string{"extra"}, elements...)...)
}

// ProgramCache gives the folder of the built programs, and ImageCache that of
// the images, both below Cache.
func (b *Bed) ProgramCache() string { return filepath.Join(b.Cache(), "bin") }

// ImageCache gives the folder of the images that were made.
func (b *Bed) ImageCache() string { return filepath.Join(b.Cache(), "images") }
