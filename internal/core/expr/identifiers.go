package expr

import (
	"slices"

	"cel.dev/cel-go/common/ast"
)

// identifiers lists the free names of an expression in order, without champion.
func identifiers(e ast.Expr) []string {
	seen := map[string]bool{}
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(n ast.Expr) {
		if n.Kind() == ast.IdentKind && n.AsIdent() != "champion" {
			seen[n.AsIdent()] = true
		}
	}))
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
