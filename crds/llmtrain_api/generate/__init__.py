"""What is written from the contract: the CRD and the pages of the documentation."""
