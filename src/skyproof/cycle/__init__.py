"""The repeating runs of the product: one file each, joining stages in order. Holds calls and no arithmetic."""
