"""What an item's text, what is learned of the item itself, and its features earn, each, on logs."""
