// Package gate measures how much a contract costs in flight: eight kinds of
// rules over batches as readers deliver them, text and typed.
//
// Run it with
//
//	go test -bench . -benchmem ./bench/gate
//
// One operation is a batch; ns/row is the number to watch. It holds benchmarks
// alone, never a test that depends on time.
package gate
