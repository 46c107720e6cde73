package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// watcher says when what stands at some paths may have changed. It watches the
// folders that the paths lead through: editors put another file in a file's place,
// and Kubernetes changes a symbolic link, "..data", on the way to it. A nil watcher
// sees nothing.
type watcher struct {
	fs      *fsnotify.Watcher
	trail   []string // sorted; what counts when it is touched
	watched []string // sorted; what fs was told
}

func newWatcher() (*watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &watcher{fs: fs}, nil
}

func (w *watcher) close() {
	if w != nil {
		w.fs.Close()
	}
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w == nil {
		return nil
	}
	return w.fs.Events
}

func (w *watcher) errors() <-chan error {
	if w == nil {
		return nil
	}
	return w.fs.Errors
}

func (w *watcher) concerns(e fsnotify.Event) bool {
	name := filepath.Clean(e.Name)
	_, found := slices.BinarySearch(w.trail, name)
	if !found && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) { // a folder makes place for another
		_, found = slices.BinarySearch(w.watched, name)
	}
	return found
}

// watch watches these files from now on, and no others. It reports whether the way
// to them is another than before: then something may have changed before it was
// watched.
func (w *watcher) watch(files []string) (changed bool, err error) {
	if w == nil {
		return false, nil
	}
	var next []string
	for _, f := range files {
		next = append(next, trail(f)...)
	}
	next = sorted(next)
	changed = !slices.Equal(next, w.trail)
	w.trail = next
	return changed, w.arm(next)
}

// arm has fs watch the folders of these paths, and the paths themselves: a file
// that is mounted by itself, as Docker does, is written in place from outside, of
// which its folder hears nothing.
func (w *watcher) arm(paths []string) error {
	var folders []string
	for _, p := range paths {
		folders = append(folders, filepath.Dir(p))
	}
	want := sorted(append(folders, paths...))
	for _, p := range w.watched {
		if _, wanted := slices.BinarySearch(want, p); !wanted {
			_ = w.fs.Remove(p) // it went by itself when the file was replaced
		}
	}
	var err error
	w.watched = w.watched[:0]
	for _, p := range want { // again and again: a replaced file is another one
		if bad := w.fs.Add(p); bad == nil {
			w.watched = append(w.watched, p)
		} else if slices.Contains(folders, p) {
			err = errors.Join(err, bad)
		}
	}
	return err
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// mostLinks is as many as Linux follows.
const mostLinks = 40

// trail lists what decides what stands at a path: the symbolic links on the way and
// the file at its end, or the first of them that does not exist.
func trail(path string) (list []string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	for range mostLinks {
		spot, rest, target := firstLink(path)
		list = append(list, spot)
		if target == "" {
			return list
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(spot), target)
		}
		path = filepath.Join(target, rest)
	}
	return list
}

// firstLink walks a path to its first symbolic link, and returns where that is,
// what follows it and where it leads. Without one, spot is where the walk ended.
func firstLink(path string) (spot, rest, target string) {
	root := filepath.VolumeName(path) + string(filepath.Separator)
	parts := strings.Split(strings.TrimPrefix(path, root), string(filepath.Separator))
	spot = root
	for i, part := range parts {
		spot = filepath.Join(spot, part)
		info, err := os.Lstat(spot)
		if err != nil {
			return spot, "", ""
		}
		if info.Mode()&os.ModeSymlink != 0 {
			if target, err = os.Readlink(spot); err != nil {
				return spot, "", ""
			}
			return spot, filepath.Join(parts[i+1:]...), target
		}
	}
	return spot, "", ""
}
