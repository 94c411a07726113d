"""The exit codes: answered, a defect, can't be served, the best answer so far, interrupted."""

OK, DEFECT, REFUSED, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 130
