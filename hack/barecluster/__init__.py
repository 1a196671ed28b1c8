"""A real Kubernetes on a bare Debian machine: Go modules for the programs, Debian packages for the rest.

Standard library only: this runs before anything is installed.
"""
