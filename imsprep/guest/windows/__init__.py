"""What a Windows guest's registry says."""
