"""One module per data format; `..dataset.Format` is what each provides."""
