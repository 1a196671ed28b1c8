//go:build tools

// Package tools pins the package manager; hack/cluster builds it from here.
package tools

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
