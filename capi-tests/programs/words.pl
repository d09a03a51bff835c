# Hashes, growing strings, regular expressions, sorting, deep copies, threads
# and forks; prints sums and digests.
use strict;
use warnings;
use threads;
use threads::shared;
use Digest::MD5 qw(md5_hex);
use Storable qw(dclone freeze thaw);
use Data::Dumper;

my $random = 12345;
sub random { $random = ($random * 1103515245 + 12345) & 0x7fffffff; return $random >> 8; }

my @syllables = qw(ba ko re mi tu sa lon dra fe ix ou ni vel qua);
sub word { return join '', map { $syllables[random() % @syllables] } 1 .. 1 + random() % 4; }

my $text = '';
for my $line (1 .. 12000) {
    $text .= join(' ', map { word() } 1 .. 3 + random() % 8) . ($line % 7 ? "\n" : ".\n\n");
}
print length($text), ' ', md5_hex($text), "\n";

my (%count, %after, $previous);
while ($text =~ /([a-z]+)/g) {
    $count{$1}++;
    push @{ $after{$previous} }, $1 if defined $previous;
    $previous = $1;
}
my @common = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print scalar(@common), " words: @common[0 .. 9]\n";
print "$_ $count{$_} ", scalar(@{ $after{$_} }), ' ', md5_hex(join ',', sort @{ $after{$_} }), "\n"
    for @common[0 .. 19];

# Nested hashes that are created and destroyed.
my %tree;
for my $i (1 .. 60000) {
    my ($a, $b, $c) = (random() % 50, random() % 50, word());
    $tree{$a}{$b}{$c} += $i;
    delete $tree{ random() % 50 } if $i % 1500 == 0;
}
my $leaves = 0;
my $sum = 0;
for my $a (sort keys %tree) {
    for my $b (sort keys %{ $tree{$a} }) {
        $leaves += keys %{ $tree{$a}{$b} };
        $sum += $_ for values %{ $tree{$a}{$b} };
    }
}
print "$leaves leaves, sum $sum\n";

$Data::Dumper::Sortkeys = 1;
$Data::Dumper::Indent = 0;
my $copy = dclone(\%tree);
my $thawed = thaw(freeze(\%tree));
print md5_hex(Dumper($copy)) eq md5_hex(Dumper(\%tree)) ? "a copy\n" : "another\n";
print md5_hex(Dumper($thawed)), "\n";

# Strings: grown at both ends, cut, replaced.
my $string = '';
for my $i (1 .. 30000) {
    if    ($i % 5 == 0) { $string = word() . $string if length $string < 20000; }
    elsif ($i % 7 == 0) { substr($string, length($string) / 2, 3) = uc word(); }
    else                { $string .= word(); }
}
(my $swapped = $string) =~ s/([a-z]{2})([A-Z]+)/$2<$1>/g;
$swapped =~ tr/aeiou/eioua/;
print length($string), ' ', md5_hex($string), ' ', length($swapped), ' ', md5_hex($swapped), "\n";
my @parts = split /([aeiou]+)/, $string;
print scalar(@parts), ' ', md5_hex(join '|', reverse @parts), "\n";
print md5_hex(join '', map { pack 'NnCa*', $_, $_ & 0xffff, $_ & 0xff, "x$_" } 1 .. 50000), "\n";
print "no match\n" unless "a" x 3000 =~ /^(a?){20}(a{1,5}){50}b/;

# Threads: each has a copy of all data, and they share one table.
my %shared : shared;
my @threads = map {
    my $id = $_;
    threads->create(sub {
        my %mine;
        $mine{ $_ % 997 } .= "$id-$_," for 1 .. 20000;
        { lock %shared; $shared{"$id-$_"} = length $mine{$_} for 1 .. 400; }
        return md5_hex(join ';', map { "$_=$mine{$_}" } sort keys %mine) . ' ' . scalar(keys %tree);
    });
} 1 .. 4;
print 'thread: ', $_->join, "\n" for @threads;
print 'shared: ', md5_hex(join ',', map { "$_=$shared{$_}" } sort keys %shared), "\n";

# Forks: children free what the parent allocated, and allocate more.
my @pipes;
for my $id (1 .. 4) {
    pipe my $read, my $write or die;
    my $pid = fork // die;
    if (!$pid) {
        delete $tree{$_} for grep { $_ % 4 == $id - 1 } keys %tree;
        $after{$_} = [ reverse @{ $after{$_} } ] for keys %after;
        print $write md5_hex(Dumper(\%tree)), "\n";
        close $write;
        exit 0;
    }
    close $write;
    push @pipes, [ $pid, $read ];
}
for (@pipes) {
    my ($pid, $read) = @$_;
    print 'child: ', <$read>;
    waitpid $pid, 0;
    die "a child ended with $?" if $?;
}
