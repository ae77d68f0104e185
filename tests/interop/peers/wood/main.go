// SPDX-License-Identifier: Apache-2.0

// Wood reads logs, receipts and policies with filippo.io/torchwood, whose authors have never heard of pausectl.
//
//	wood log BASE POLICY          every entry at the URL, under a checkpoint that satisfies the policy
//	wood proof POLICY PROOF ENTRY a c2sp.org/tlog-proof@v1 of the entry's bytes, under the policy
//	wood policy POLICY            whether the policy can be read
//
// POLICY, PROOF and ENTRY are files. On success it prints "ok" and what it found, and else exits with 1.
package main

import (
	"context"
	"fmt"
	"os"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	commands := map[string]struct {
		words int
		run   func([]string) (string, error)
	}{"log": {2, readLog}, "proof": {3, readProof}, "policy": {1, readPolicy}}
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok && len(os.Args) == 2+command.words {
			found, err := command.run(os.Args[2:])
			if err != nil {
				fmt.Fprintln(os.Stderr, "wood:", err)
				os.Exit(1)
			}
			fmt.Println("ok", found)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: wood log BASE POLICY | wood proof POLICY PROOF ENTRY | wood policy POLICY")
	os.Exit(2)
}

// policy reads a file in the format of c2sp.org/tlog-policy.
func policy(path string) (torchwood.Policy, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return torchwood.ParsePolicy(raw)
}

func readPolicy(words []string) (string, error) {
	_, err := policy(words[0])
	return words[0], err
}

// readLog reads all entries, each checked against the root.
func readLog(words []string) (string, error) {
	rules, err := policy(words[1])
	if err != nil {
		return "", err
	}
	fetcher, err := torchwood.NewTileFetcher(words[0])
	if err != nil {
		return "", err
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	raw, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return "", err
	}
	head, _, err := torchwood.VerifyCheckpoint(raw, rules)
	if err != nil {
		return "", err
	}
	var count int64
	for range client.AllEntries(ctx, head.Tree, 0) {
		count++
	}
	if err := client.Err(); err != nil {
		return "", err
	}
	if count != head.N {
		return "", fmt.Errorf("expected %d entries, found %d", head.N, count)
	}
	return fmt.Sprint(head.Origin, " ", count), nil
}

// readProof checks a receipt of the entry whose bytes a file holds.
func readProof(words []string) (string, error) {
	rules, err := policy(words[0])
	if err != nil {
		return "", err
	}
	proof, err := os.ReadFile(words[1])
	if err != nil {
		return "", err
	}
	entry, err := os.ReadFile(words[2])
	if err != nil {
		return "", err
	}
	return words[1], torchwood.VerifyProof(rules, tlog.RecordHash(entry), proof)
}
