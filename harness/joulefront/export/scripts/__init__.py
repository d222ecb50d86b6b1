"""What is copied into each exported folder as it is: programs of their own, which import nothing of Joulefront."""
