// Package python carries the task SDK inside the program, so that it always
// matches its server.
package python

import (
	"crypto/sha256"
	_ "embed" // the SDK
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/tidemill/tidemill/internal/core/fault"
)

//go:embed tidemill.py
var sdk []byte

// Digest is the identity of the SDK, in a few characters.
func Digest() string {
	sum := sha256.Sum256(sdk)
	return hex.EncodeToString(sum[:6])
}

// Install writes the SDK into a folder.
func Install(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.New(fault.Unavailable, "install the SDK: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tidemill.py"), sdk, 0o644); err != nil {
		return fault.New(fault.Unavailable, "install the SDK: %w", err)
	}
	return nil
}
