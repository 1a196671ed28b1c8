//go:build tools

// Package tools pins the checker of Prometheus' rules; hack/cluster builds it from here.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
