"""What Argo CD deploys, checked before it does."""
