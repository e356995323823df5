module shop.example/shop

go 1.24.0
