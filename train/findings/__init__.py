"""The paper's findings, each an experiment that anyone can repeat."""
