// SPDX-License-Identifier: Apache-2.0

// Xmod replays a ledger with golang.org/x/mod, whose authors have never heard of pausectl.
//
//	xmod BASE VKEY
//
// BASE is a directory or a URL that serves C2SP tlog-tiles, VKEY the log's Ed25519 verifier key. Every tile is
// authenticated against the signed root, every entry has its inclusion proved, and a sample of older sizes is proved
// consistent with the newest. On success it prints "ok ORIGIN SIZE".
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// height is fixed by tlog-tiles, which therefore leaves it out of the paths.
const height = 8

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: xmod BASE VKEY")
		os.Exit(2)
	}
	origin, tree, err := replay(ledger(os.Args[1]), os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "xmod:", err)
		os.Exit(1)
	}
	fmt.Println("ok", origin, tree.N)
}

// replay opens the checkpoint and checks everything that it covers.
func replay(source ledger, vkey string) (origin string, tree tlog.Tree, err error) {
	origin, tree, err = checkpoint(source, vkey)
	if err != nil {
		return origin, tree, fmt.Errorf("checkpoint: %w", err)
	}
	hashes := tlog.TileHashReader(tree, source)
	if err := inclusion(source, tree, hashes); err != nil {
		return origin, tree, err
	}
	return origin, tree, consistency(tree, hashes)
}

// checkpoint returns the first line of the signed note, and the tree that its next two lines state.
func checkpoint(source ledger, vkey string) (origin string, tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", tree, err
	}
	raw, err := source.fetch("checkpoint")
	if err != nil {
		return "", tree, err
	}
	signed, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return "", tree, err
	}
	origin, rest, _ := strings.Cut(signed.Text, "\n")
	// ParseTree reads the same two lines under the header of the Go checksum database.
	tree, err = tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	return origin, tree, err
}

// inclusion reads every entry bundle and proves each entry against the root.
func inclusion(source ledger, tree tlog.Tree, hashes tlog.HashReader) error {
	const width = 1 << height
	for first := int64(0); first < tree.N; first += width {
		count := min(width, tree.N-first)
		path := source.path(tlog.Tile{H: height, L: -1, N: first / width, W: int(count)})
		bundle, err := source.fetch(path)
		if err != nil {
			return err
		}
		entries, err := split(bundle)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if int64(len(entries)) != count {
			return fmt.Errorf("%s: expected %d entries, found %d", path, count, len(entries))
		}
		for i, entry := range entries {
			index := first + int64(i)
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
		}
	}
	return nil
}

// split cuts a bundle into its entries, each behind a 16-bit big-endian length.
func split(bundle []byte) (entries [][]byte, err error) {
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return nil, io.ErrUnexpectedEOF
		}
		size := int(binary.BigEndian.Uint16(bundle))
		bundle = bundle[2:]
		if len(bundle) < size {
			return nil, io.ErrUnexpectedEOF
		}
		entries = append(entries, bundle[:size])
		bundle = bundle[size:]
	}
	return entries, nil
}

// consistency proves some 64 older sizes, the first and the last among them, to be prefixes of the tree.
func consistency(tree tlog.Tree, hashes tlog.HashReader) error {
	if tree.N == 0 {
		return nil
	}
	step := 1 + tree.N/64
	for size := int64(1); size <= tree.N; size = next(size, step, tree.N) {
		root, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		proof, err := tlog.ProveTree(tree.N, size, hashes)
		if err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, size, root); err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
	}
	return nil
}

// next steps on, but never past the newest size without a stop there.
func next(size, step, newest int64) int64 {
	if size < newest {
		return min(size+step, newest)
	}
	return newest + 1
}

// ledger is where the paths of tlog-tiles lead: a directory, or a URL.
type ledger string

func (l ledger) fetch(path string) ([]byte, error) {
	base := string(l)
	if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
		return os.ReadFile(filepath.Join(base, filepath.FromSlash(path)))
	}
	answer, err := http.Get(strings.TrimSuffix(base, "/") + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// path turns "tile/8/data/000" into "tile/entries/000", and "tile/8/1/000" into "tile/1/000".
func (l ledger) path(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
	if data, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + data
	}
	return "tile/" + path
}

// The rest is tlog.TileReader. There is no cache to save to: SaveTiles has nothing to do.

func (l ledger) Height() int { return height }

func (l ledger) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	contents := make([][]byte, 0, len(tiles))
	for _, tile := range tiles {
		content, err := l.fetch(l.path(tile))
		if err != nil {
			return nil, err
		}
		contents = append(contents, content)
	}
	return contents, nil
}

func (l ledger) SaveTiles([]tlog.Tile, [][]byte) {}
