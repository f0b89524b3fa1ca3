"""Pure API machinery; knows no kind: errors, selectors, quantities, names, schemas, patches."""
