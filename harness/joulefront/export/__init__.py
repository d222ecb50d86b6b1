"""The files that one deploys: what they hold and how they are written. What they are made from, ``ship`` hands over."""
