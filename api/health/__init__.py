"""How an installation is: what of it answers, for load balancers, orchestrators, people and Prometheus."""
