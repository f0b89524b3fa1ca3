"""The Common Expression Language as Kubernetes 1.36 uses it: cel-go's types, messages and costs.

    environment = Environment(variables={"self": structural.object_type(schema)})
    program = environment.compile("self.replicas <= self.maxReplicas", result=(types.BOOL,))
    program.evaluate({"self": {"replicas": 1, "maxReplicas": 3}})        # True

Text goes through `lexer` and `parser` (which expands `macros`) to a tree (`ast`); `checker` and `validators` give it types by
`declarations`; `planning` and `folding` make it a function. `values` says what values are: JSON is one as it is, nothing is
copied or wrapped.

- Compiling raises `CompileError`, whose text is cel-go's rendering with all errors. Type errors are exact. Of syntax errors the
  first that the parser meets is told, in ANTLR's words.
- Evaluating raises `EvaluationError`. What the types in a schema promise is not checked again.
- Costs are counted only where `estimation` does not show that they stay within the limit. Joining lists copies them here,
  and so cost more than upstream's from a hundred elements on; what would be too large for any limit is not made.
- Fields of type date-time, date, duration, byte or number are converted where they are selected, not before; within a value
  that has lost its type (``dyn(self)``) they are what JSON has.
- Patterns are RE2's, by google-re2.
- An ``authorizer`` asks a callback (`libraries.authorizer`).
"""
