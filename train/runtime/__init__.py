"""This process, its devices, and the other processes of the run."""
