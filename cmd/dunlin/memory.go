package main

import "fmt"

// memoryLow says that so much of the memory is used that the node should get no new
// connections: percent of it, or more. 0: it never says so.
func memoryLow(percent int) error {
	if percent == 0 {
		return nil
	}
	used, limit := memoryUse()
	if limit == 0 || used < limit/100*uint64(percent) {
		return nil
	}
	return fmt.Errorf("%d MiB of %d MiB memory are in use, %d%% or more", used>>20, limit>>20, percent)
}
