//go:build tools

// Package tools pins the cluster's DNS server; hack/cluster builds it from here.
package tools

import (
	_ "github.com/coredns/coredns"
)
