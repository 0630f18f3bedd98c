module example.com/soft

go 1.19
