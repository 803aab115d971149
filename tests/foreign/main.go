// What others make of our log: the checksum database's packages (golang.org/x/mod/sumdb) and those of transparency-dev check a policy, a
// tlog-proof, and the checkpoint, tiles and entries that a gateway serves. Nothing here knows fhir-anchor but for where it serves them.
//
//	go run . POLICY PROOF PREFIX        PREFIX is the address of the gateway with /ledger
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	told, err := check(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(told)
}

type policy struct {
	log       note.Verifier
	witnesses []note.Verifier
	group     witness.Group
}

func check(policyPath, proofPath, prefix string) (string, error) {
	known, err := readPolicy(policyPath)
	if err != nil {
		return "", fmt.Errorf("policy: %w", err)
	}
	old, err := checkProof(proofPath, known)
	if err != nil {
		return "", fmt.Errorf("proof: %w", err)
	}
	served, err := get(prefix + "/checkpoint")
	if err != nil {
		return "", err
	}
	head, cosigned, err := checkpoint(served, known)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	if err := checkTiles(prefix, old, head); err != nil {
		return "", fmt.Errorf("tiles: %w", err)
	}
	return fmt.Sprintf("size %d, cosignatures %d, consistent with %d", head.N, cosigned, old.N), nil
}

// readPolicy reads with the reader that logs use, which wants a URL for each witness; ours have none.
func readPolicy(path string) (*policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	known := &policy{}
	var lines []string
	for _, line := range strings.Split(string(text), "\n") {
		switch fields := strings.Fields(line); {
		case len(fields) == 2 && fields[0] == "log":
			known.log, err = note.NewVerifier(fields[1])
		case len(fields) == 3 && fields[0] == "witness":
			var verifier note.Verifier
			verifier, err = cosignature.NewVerifierForCosignatureV1(fields[2])
			known.witnesses = append(known.witnesses, verifier)
			line += " https://witness.invalid/"
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		lines = append(lines, line)
	}
	known.group, err = witness.ParsePolicy([]byte(strings.Join(lines, "\n")))
	return known, err
}

// checkpoint is the tree of a note that the log signed and enough witnesses cosigned, and how many did.
func checkpoint(signed []byte, known *policy) (tlog.Tree, int, error) {
	found, rest, opened, err := log.ParseCheckpoint(signed, known.log.Name(), known.log, known.witnesses...)
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	if len(rest) != 0 || len(opened.UnverifiedSigs) != 0 {
		return tlog.Tree{}, 0, errors.New("extension lines, or signatures of nobody we know")
	}
	if !known.group.Satisfied(signed) {
		return tlog.Tree{}, 0, errors.New("too few cosignatures")
	}
	return tlog.Tree{N: int64(found.Size), Hash: tlog.Hash(found.Hash)}, len(opened.Sigs) - 1, nil
}

func checkProof(path string, known *policy) (tlog.Tree, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	var found tlogproof.TLogProof
	if err := found.Unmarshal(text); err != nil {
		return tlog.Tree{}, err
	}
	if !bytes.Equal(found.Marshal(), text) {
		return tlog.Tree{}, errors.New("it is spelled otherwise than they spell it")
	}
	tree, _, err := checkpoint(found.Checkpoint, known)
	if err != nil {
		return tlog.Tree{}, err
	}
	hashes := make([][]byte, len(found.Hashes))
	for i, hash := range found.Hashes {
		hashes[i] = hash[:]
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(found.ExtraData)
	return tree, proof.VerifyInclusion(rfc6962.DefaultHasher, found.Index, uint64(tree.N), leaf, hashes, tree.Hash[:])
}

// checkTiles proves the old tree a prefix of the new one, and every entry of the last bundle the leaf that it is, from tiles alone.
func checkTiles(prefix string, old, head tlog.Tree) error {
	tiles := tlog.TileHashReader(head, reader{prefix}) // which holds each tile against the head's hash
	path, err := tlog.ProveTree(head.N, old.N, tiles)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(path, head.N, head.Hash, old.N, old.Hash); err != nil {
		return err
	}
	last := tlog.Tile{H: 8, L: 0, N: (head.N - 1) / 256, W: int((head.N-1)%256) + 1}
	bundle, err := get(prefix + "/tile/entries/" + strings.TrimPrefix(last.Path(), "tile/8/0/"))
	if err != nil {
		return err
	}
	for i := last.N * 256; i < head.N; i++ {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return errors.New("the bundle is too short")
		}
		size := int(binary.BigEndian.Uint16(bundle))
		hashes, err := tiles.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil {
			return err
		}
		if tlog.RecordHash(bundle[2:2+size]) != hashes[0] {
			return fmt.Errorf("entry %d is not the leaf", i)
		}
		bundle = bundle[2+size:]
	}
	if len(bundle) != 0 {
		return errors.New("the bundle is too long")
	}
	return nil
}

// reader has tiles of 256 hashes; the specification leaves their height, 8, out of the path.
type reader struct{ prefix string }

func (r reader) Height() int { return 8 }

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for i, tile := range tiles {
		body, err := get(r.prefix + "/" + strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		found[i] = body
	}
	return found, nil
}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return body, err
}
